// Command images makes the container images of vm-scheduler and vm-executor from
// their programs and from Debian packages, without a daemon, and can push them:
//
//	images --programs DIR --debs DIR --out DIR [--tag TAG] [--push REGISTRY]
//
// The same programs and packages give the same bytes: times are SOURCE_DATE_EPOCH.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// repository is what the images are called where no registry is named.
const repository = "domus.dev"

func main() {
	var o options
	flag.StringVar(&o.programs, "programs", "bin/images", "folder with the programs, each NAME in a folder NAME.d")
	flag.StringVar(&o.debs, "debs", "bin/images/debs", "folder with the Debian packages of vm-executor's libraries")
	flag.StringVar(&o.out, "out", "bin/images", "folder for the images: NAME as an OCI layout, NAME.tar for docker load")
	flag.StringVar(&o.tag, "tag", "dev", "the images' tag")
	flag.StringVar(&o.push, "push", "", "registry and path to push to, such as registry.example.org/domus")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

type options struct{ programs, debs, out, tag, push string }

func run(o options) error {
	made, err := sourceDate()
	if err != nil {
		return err
	}
	for _, def := range definitions {
		image, err := build(def, o, made)
		if err != nil {
			return fmt.Errorf("making %s: %w", def.name, err)
		}
		if err := write(def.name, image, o); err != nil {
			return fmt.Errorf("writing %s: %w", def.name, err)
		}
	}
	return nil
}

// sourceDate is the time that files in the images have.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: give seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// write puts the image into o.out, and into the registry where one is named.
func write(as string, image v1.Image, o options) error {
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	dir := filepath.Join(o.out, as)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	into, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := into.AppendImage(image, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": o.tag})); err != nil {
		return err
	}
	local, err := name.NewTag(repository+"/"+as+":"+o.tag, name.WeakValidation)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(dir+".tar", local, image); err != nil {
		return err
	}
	compressed, unpacked, err := sizes(image)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.1f MB to pull, %.1f MB unpacked, %s\n", local, float64(compressed)/1e6, float64(unpacked)/1e6, digest)
	if o.push == "" {
		return nil
	}
	to, err := name.NewTag(o.push+"/"+as+":"+o.tag, name.WeakValidation)
	if err != nil {
		return err
	}
	if err := remote.Write(to, image, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing %s: %w", to, err)
	}
	fmt.Printf("pushed %s@%s\n", to, digest)
	return nil
}
