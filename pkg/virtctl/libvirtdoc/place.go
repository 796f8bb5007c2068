package libvirtdoc

import (
	"errors"
	"strings"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/xmldoc"
	"domus.dev/domus/pkg/virtctl/documents"
)

// placed gives what is wrong with a document its place in the file.
func placed(d documents.Document, err error) error {
	var inXML xmldoc.Errors
	var invalid *convert.InvalidError
	var several utilerrors.Aggregate
	var misfit *documents.Misfit
	var joined interface{ Unwrap() []error }
	var of *field.Error
	switch {
	case errors.As(err, &inXML):
		return shifted(d, inXML)
	case errors.As(err, &invalid):
		return fields(&d, invalid.List)
	case errors.As(err, &several):
		return joinEach(&d, several.Errors())
	case errors.As(err, &joined):
		return joinEach(&d, joined.Unwrap())
	case errors.As(err, &misfit):
		return d.Problem(misfit.Path, "%s", misfit.Problem)
	case errors.As(err, &of):
		return d.Problem(of.Field, "%s", of.ErrorBody())
	}
	// Some errors name the document themselves.
	return d.Problem("", "%s", strings.TrimPrefix(err.Error(), d.Source+": "))
}

func joinEach(d *documents.Document, all []error) error {
	var errs []error
	for _, e := range all {
		if e != nil {
			errs = append(errs, placed(*d, e))
		}
	}
	return errors.Join(errs...)
}

func fields(d *documents.Document, list field.ErrorList) error {
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = d.Problem(e.Field, "%s", e.ErrorBody())
	}
	return errors.Join(errs...)
}

// shifted are errors with the lines of the file that the document is in.
func shifted(d documents.Document, list xmldoc.Errors) error {
	errs := make(xmldoc.Errors, len(list))
	for i, e := range list {
		at := *e
		at.File = d.Source
		switch {
		case at.Line == 0:
			at.Line = d.Line
		// A node of an object has the line of its file already.
		case d.Node == nil && d.Line > 0:
			at.Line += d.Line - 1
		}
		errs[i] = &at
	}
	return errs
}

// inXMLOf is what is wrong with the XML that an object stands for: its lines are
// not the object's.
func inXMLOf(d *documents.Document, err error) error {
	var inXML xmldoc.Errors
	if !errors.As(err, &inXML) {
		return placed(*d, err)
	}
	errs := make([]error, len(inXML))
	for i, e := range inXML {
		at := *e
		at.File, at.Line, at.Column = "", 0, 0
		// domain/devices/disk[2]/@type is written spec.domain.devices.disk[1]._type.
		errs[i] = d.Problem("spec", "%s", at.Error())
	}
	return errors.Join(errs...)
}
