package tree

import (
	"fmt"
	"reflect"
)

// Parts is all that is set in a libvirtxml struct (given by pointer), as JSON in
// Domus's style by the dotted keys that lead there: cpu.mode, devices.disks.
// Lists are whole, and so are objects that are depth keys deep, where depth is
// not 0. Equal documents have equal parts, however they were written. It fails
// as Encode does.
func Parts(doc any, depth int) (map[string]string, error) {
	out := map[string]string{}
	if err := parts(reflect.ValueOf(doc), "", depth, out); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", doc, err)
	}
	return out, nil
}

func parts(v reflect.Value, at string, depth int, out map[string]string) error {
	for v.Kind() == reflect.Pointer && v.Type().Elem().Kind() != reflect.Slice {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && (at == "" || depth != 1) {
		v = unmirror(v)
		inside := at == ""
		for _, m := range objectOf(v.Type()).members {
			f := v.FieldByIndex(m.index)
			if !present(f) && (!m.always || !isNumber(f)) {
				continue
			}
			inside = true
			below := depth
			if at != "" && depth > 0 {
				below--
			}
			if err := parts(f, join(at, m.key), below, out); err != nil {
				return err
			}
		}
		if inside {
			return nil
		}
	}
	var e encoder
	if err := e.value(v, at); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	out[at] = e.out.String()
	return nil
}
