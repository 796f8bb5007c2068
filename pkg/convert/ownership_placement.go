package convert

import "domus.dev/domus/pkg/api/v1alpha1"

// cellElement is a cell of the placement in the mark.
type cellElement struct {
	ID     string `xml:"id,attr"`
	CPU    string `xml:"cpu,attr"`
	Memory string `xml:"memory,attr"`
	CPUs   string `xml:"cpus,attr,omitempty"`
	Idle   string `xml:"idle,attr,omitempty"`
}

// deviceElement is a host device of the placement in the mark.
type deviceElement struct {
	Name    string `xml:"name,attr"`
	Address string `xml:"address,attr"`
}

func cellElements(cells []v1alpha1.PlacedCell) []cellElement {
	var out []cellElement
	for _, c := range cells {
		out = append(out, cellElement{
			ID:     number(int64(c.ID)),
			CPU:    number(int64(c.CPU)),
			Memory: number(c.Memory),
			CPUs:   c.CPUs,
			Idle:   c.Idle,
		})
	}
	return out
}

func deviceElements(devices []v1alpha1.PlacedDevice) []deviceElement {
	var out []deviceElement
	for _, d := range devices {
		out = append(out, deviceElement{Name: d.Name, Address: d.Address})
	}
	return out
}

func (r *attributeReader) cells(elements []cellElement) []v1alpha1.PlacedCell {
	var out []v1alpha1.PlacedCell
	for _, e := range elements {
		out = append(out, v1alpha1.PlacedCell{
			ID:     int32(r.number("id of a cell", e.ID, 32)),
			CPU:    int32(r.number("cpu of a cell", e.CPU, 32)),
			Memory: r.number("memory of a cell", e.Memory, 64),
			CPUs:   e.CPUs,
			Idle:   e.Idle,
		})
	}
	return out
}

func (r *attributeReader) devices(elements []deviceElement) []v1alpha1.PlacedDevice {
	var out []v1alpha1.PlacedDevice
	for _, e := range elements {
		if parsePCIAddress(e.Address) == nil {
			r.failed("attribute address of a device is %q, not a PCI address such as 0000:3b:00.0", e.Address)
		}
		out = append(out, v1alpha1.PlacedDevice{Name: r.text("name of a device", e.Name), Address: e.Address})
	}
	return out
}
