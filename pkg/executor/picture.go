package executor

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// maxScreenshot is how large a picture's PNG may be, in bytes.
	maxScreenshot = 512 << 10
	// maxSide bounds a screen's width and height in pixels: what a guest makes up
	// must not fill the host's memory.
	maxSide = 16384
)

// develop makes a PNG of at most so many bytes of a picture, smaller by halves
// where it has to be.
func develop(p libvirt.Picture, most int) (*v1alpha1.Screenshot, error) {
	img, err := decodePicture(p.Data)
	if err != nil {
		return nil, err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	for {
		var out bytes.Buffer
		if err := encoder.Encode(&out, img); err != nil {
			return nil, err
		}
		size := img.Bounds().Size()
		if out.Len() <= most {
			return &v1alpha1.Screenshot{PNG: out.Bytes(), Width: int32(size.X), Height: int32(size.Y)}, nil
		}
		if size.X == 1 && size.Y == 1 {
			return nil, fmt.Errorf("a single pixel takes more than %d bytes", most)
		}
		img = halved(img)
	}
}

// decodePicture reads PNG and PPM, which is what QEMU draws.
func decodePicture(data []byte) (image.Image, error) {
	if bytes.HasPrefix(data, []byte("P6")) {
		return decodePPM(data)
	}
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it is neither PNG nor PPM: %w", err)
	}
	if config.Width > maxSide || config.Height > maxSide {
		return nil, fmt.Errorf("it has %d by %d pixels", config.Width, config.Height)
	}
	return png.Decode(bytes.NewReader(data))
}

// decodePPM reads a binary PPM of one byte a sample. Source: netpbm's ppm(5).
func decodePPM(data []byte) (image.Image, error) {
	var numbers [3]int
	rest := data[len("P6"):]
	for i := range numbers {
		var err error
		if numbers[i], rest, err = ppmNumber(rest); err != nil {
			return nil, err
		}
	}
	width, height, top := numbers[0], numbers[1], numbers[2]
	switch {
	case top != 255:
		return nil, fmt.Errorf("its samples go up to %d, not 255", top)
	case width < 1 || height < 1 || width > maxSide || height > maxSide:
		return nil, fmt.Errorf("it has %d by %d pixels", width, height)
	case len(rest) < 1+3*width*height:
		return nil, errors.New("it is cut off")
	}
	rest = rest[1:] // one white space
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		copy(img.Pix[4*i:], rest[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	return img, nil
}

// ppmNumber reads a decimal number after white space and comments, and returns what
// follows it.
func ppmNumber(data []byte) (int, []byte, error) {
	for len(data) > 0 {
		switch {
		case data[0] == '#':
			end := bytes.IndexByte(data, '\n')
			if end < 0 {
				return 0, nil, errors.New("its header is cut off")
			}
			data = data[end:]
		case bytes.IndexByte([]byte(" \t\r\n\v\f"), data[0]) >= 0:
			data = data[1:]
		default:
			n, digits := 0, 0
			for digits < len(data) && data[digits] >= '0' && data[digits] <= '9' {
				if n = 10*n + int(data[digits]-'0'); n > 1<<20 {
					return 0, nil, errors.New("its header has a number that is too large")
				}
				digits++
			}
			if digits == 0 {
				return 0, nil, errors.New("its header has no number where one is due")
			}
			return n, data[digits:], nil
		}
	}
	return 0, nil, errors.New("its header is cut off")
}

// halved has half the width and height, each pixel the mean of up to four.
func halved(img image.Image) image.Image {
	b := img.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, (b.Dx()+1)/2, (b.Dy()+1)/2))
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			var r, g, bl, n uint32
			for _, at := range [4]image.Point{{2 * x, 2 * y}, {2*x + 1, 2 * y}, {2 * x, 2*y + 1}, {2*x + 1, 2*y + 1}} {
				at = at.Add(b.Min)
				if !at.In(b) {
					continue
				}
				pr, pg, pb, _ := img.At(at.X, at.Y).RGBA()
				r, g, bl, n = r+pr>>8, g+pg>>8, bl+pb>>8, n+1
			}
			out.SetNRGBA(x, y, color.NRGBA{R: uint8(r / n), G: uint8(g / n), B: uint8(bl / n), A: 255})
		}
	}
	return out
}
