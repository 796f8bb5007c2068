package convert

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ReplaceOwnership returns a domain's document, which carries a mark, with another
// mark in its place. The rest stays to the letter. It is an error where there is no
// mark, or more than one.
func ReplaceOwnership(domain string, mark Ownership) (string, error) {
	d := xml.NewDecoder(strings.NewReader(domain))
	out, found, depth := "", 0, 0
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("reading the domain: %w", err)
		}
		switch t := token.(type) {
		case xml.EndElement:
			depth--
		case xml.StartElement:
			// domain, metadata, owner
			if depth == 2 && t.Name == (xml.Name{Space: OwnershipNamespace, Local: "owner"}) {
				if err := d.Skip(); err != nil {
					return "", fmt.Errorf("reading the domain: %w", err)
				}
				found++
				out = domain[:before] + mark.XML() + domain[d.InputOffset():]
				continue
			}
			depth++
		}
	}
	if found != 1 {
		return "", fmt.Errorf("the domain's metadata names %d owners", found)
	}
	return out, nil
}
