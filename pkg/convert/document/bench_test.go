package document_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// sizes are documents to measure with: one as libvirt prints for a machine of a
// few devices, and one with as many disks as 128 KiB hold.
func sizes(b *testing.B) map[string][]byte {
	small, err := os.ReadFile("../tree/testdata/domain-pc.xml")
	if err != nil {
		b.Fatal(err)
	}
	head, _, ok := strings.Cut(string(small), "<disk ")
	end := strings.LastIndex(string(small), "</disk>") + len("</disk>")
	if !ok {
		b.Fatal("the document has no disk")
	}
	tail := string(small)[end:]
	var large strings.Builder
	large.WriteString(head)
	for i := 0; ; i++ {
		disk := fmt.Sprintf(`<disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>
      <source protocol='rbd' name='volumes/volume-%08d'>
        <host name='10.0.0.1' port='6789'/>
        <host name='10.0.0.2' port='6789'/>
      </source>
      <target dev='vd%d' bus='virtio'/>
      <serial>%012d</serial>
      <address type='pci' domain='0x0000' bus='0x%02x' slot='0x%02x' function='0x0'/>
    </disk>
    `, i, i, i, i/32, i%32)
		if large.Len()+len(disk)+len(tail) > xmldoc.DefaultBytes {
			break
		}
		large.WriteString(disk)
	}
	large.WriteString(tail)
	return map[string][]byte{"small": small, "128KiB": []byte(large.String())}
}

func BenchmarkRead(b *testing.B) {
	for name, text := range sizes(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			used := cpuTime()
			for b.Loop() {
				if _, err := document.Read("", text, xmldoc.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			report(b, cpuTime()-used)
			b.ReportMetric(float64(len(text)), "bytes/document")
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for name, text := range sizes(b) {
		doc, err := document.Read("", text, xmldoc.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			used := cpuTime()
			for b.Loop() {
				if _, errs := document.Write(doc.Kind, doc.Value, nil); len(errs) > 0 {
					b.Fatal(errs.ToAggregate())
				}
			}
			report(b, cpuTime()-used)
			b.ReportMetric(float64(len(doc.Value)), "bytes/document")
		})
	}
}

// report says documents a second, and the CPU time of one, which counts where
// others use the machine too.
func report(b *testing.B, used time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "documents/s")
	b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/document")
}

// cpuTime is what the process has used, its garbage collector included.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
