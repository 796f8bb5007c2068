package objects

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// liftName names an object that has no name yet after its document.
func liftName(name *string, obj client.Object) {
	if obj.GetName() == "" {
		obj.SetName(Name(*name))
	}
	*name = ""
}

// lowerName names a document after its object.
func lowerName(obj client.Object, name *string, at *field.Path) field.ErrorList {
	if *name != "" && *name != obj.GetName() {
		return field.ErrorList{givenTwice(at.Child("name"), *name, "metadata.name")}
	}
	*name = obj.GetName()
	return nil
}

// liftUUID moves a UUID to the field for it, where it is one.
func liftUUID(uuid, to *string) {
	if read, ok := readUUID(*uuid); ok {
		*to, *uuid = read, ""
	}
}

// lowerUUID gives a document the UUID of its object.
func lowerUUID(from string, uuid *string, at *field.Path) field.ErrorList {
	if from == "" {
		return nil
	}
	if *uuid != "" {
		if own, _ := readUUID(*uuid); own != from {
			return field.ErrorList{givenTwice(at.Child("uuid"), *uuid, "spec.uuid")}
		}
	}
	*uuid = from
	return nil
}

var hexUUID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// readUUID reads a UUID as libvirt does: in any case, with hyphens wherever
// they stand and space around it. It is written in the usual way.
func readUUID(text string) (string, bool) {
	hex := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "-", ""))
	if !hexUUID.MatchString(hex) {
		return "", false
	}
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:], true
}
