// Package tree maps libvirt documents between Go's libvirtxml structs and the
// JSON (and so YAML) style in which Domus writes them.
//
// The struct is the schema, and one rule per kind of field is all there is:
//
//   - a key is the field's Go name in lowerCamelCase: OnPoweroff is onPoweroff,
//     UUID is uuid, IOThreads is ioThreads (see [Key]);
//   - attributes, child elements and text are alike: each is a key, whose
//     place in the XML the struct knows;
//   - a field of many is always a list; embedded structs are written in line;
//   - an element that holds nothing is true when it is there, and is otherwise
//     left out;
//   - numbers are JSON integers; strings are strings and nothing else is ever
//     taken for one: the YAML words yes, on and 0123 must be quoted;
//   - where libvirt lets one variant of several be chosen, an object with that
//     one key stands for it: {"source": {"file": {"file": "/x"}}}.
//
// Nothing is coerced, renamed or dropped: what does not fit is an error with
// its full path.
package tree
