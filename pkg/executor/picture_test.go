package executor

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"testing"

	"domus.dev/domus/pkg/libvirt"
)

func TestDevelop(t *testing.T) {
	ppm := func(header string, samples int) []byte {
		data := []byte(header)
		for i := range samples {
			data = append(data, byte(i))
		}
		return data
	}
	for name, c := range map[string]struct {
		data          []byte
		width, height int32
		wrong         string
	}{
		"a PPM":                  {data: ppm("P6\n4 2\n255\n", 24), width: 4, height: 2},
		"a PPM with a comment":   {data: ppm("P6\n# by QEMU\n4 2 255\n", 24), width: 4, height: 2},
		"a PPM that is cut off":  {data: ppm("P6\n4 2\n255\n", 23), wrong: "it is cut off"},
		"a header cut off":       {data: []byte("P6\n4"), wrong: "its header is cut off"},
		"an enormous PPM":        {data: ppm("P6\n999999 999999\n255\n", 0), wrong: "it has 999999 by 999999 pixels"},
		"a number that is none":  {data: ppm("P6\nx", 0), wrong: "its header has no number where one is due"},
		"a number far too large": {data: ppm("P6\n99999999999999999999", 0), wrong: "its header has a number that is too large"},
		"two bytes a sample":     {data: ppm("P6\n4 2\n65535\n", 48), wrong: "its samples go up to 65535, not 255"},
		"something else":         {data: []byte("GIF89a-and-more"), wrong: "it is neither PNG nor PPM: png: invalid format: not a PNG file"},
		"nothing":                {wrong: "it is neither PNG nor PPM: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			shot, err := develop(libvirt.Picture{Data: c.data}, maxScreenshot)
			if c.wrong != "" {
				if err == nil || err.Error() != c.wrong {
					t.Errorf("%v, want %s", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(bytes.NewReader(shot.PNG))
			if err != nil || shot.Width != c.width || shot.Height != c.height {
				t.Fatalf("%d by %d: %v", shot.Width, shot.Height, err)
			}
			if got := color.NRGBAModel.Convert(img.At(1, 1)); got != (color.NRGBA{R: 15, G: 16, B: 17, A: 255}) {
				t.Errorf("a pixel is %v", got)
			}
		})
	}
}

// TestALargePictureIsHalved: noise does not compress.
func TestALargePictureIsHalved(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 1023, 767))
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range img.Pix {
		img.Pix[i] = byte(noise.Uint32())
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	shot, err := develop(libvirt.Picture{Data: out.Bytes()}, maxScreenshot)
	if err != nil {
		t.Fatal(err)
	}
	if len(shot.PNG) > maxScreenshot || fmt.Sprint(shot.Width, shot.Height) != "256 192" {
		t.Errorf("%d by %d in %d bytes", shot.Width, shot.Height, len(shot.PNG))
	}
}

func TestHalvedIsTheMean(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 3, 2))
	for x, v := range []uint8{0, 100, 60} {
		img.SetNRGBA(x, 0, color.NRGBA{R: v, A: 255})
		img.SetNRGBA(x, 1, color.NRGBA{R: v, A: 255})
	}
	got := halved(img)
	if got.Bounds() != image.Rect(0, 0, 2, 1) || got.At(0, 0) != (color.NRGBA{R: 50, A: 255}) || got.At(1, 0) != (color.NRGBA{R: 60, A: 255}) {
		t.Errorf("%v %v %v", got.Bounds(), got.At(0, 0), got.At(1, 0))
	}
}
