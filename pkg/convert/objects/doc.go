// Package objects turns libvirt's XML documents into the objects of Domus, and
// objects back into documents.
//
// It maps and nothing else: no placement, no host, no default and no judgement
// comes in. What a document says goes to the typed field that means the same,
// and to the object's libvirt part (spec.domain and the like, in the style of
// package tree) where none does. To make an object that Domus accepts and runs
// of one that came from elsewhere is package intake's.
//
// # Nothing is lost
//
// Both forms can say things that the other has no words for, so each carries
// what the other does not, and always in the same way: as a list of differences
// (see delta) between what is meant by this form and what is written in the
// other.
//
//   - XML to object: the annotation domus.dev/libvirt-notation has what of the
//     document the object's fields do not tell, such as the true name of a
//     domain that is none in Kubernetes, or memory that was given in GiB.
//   - Object to XML: the element domus:object in <metadata> (a comment where
//     libvirt keeps no metadata) has what of the object the XML does not tell,
//     such as labels and a node selector.
//
// A difference holds only while its own side still says what it said when the
// difference was written. Who edits the object, or the XML, wins.
package objects
