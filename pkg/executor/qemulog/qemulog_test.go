package qemulog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const (
	command = `LC_ALL=C \
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
/usr/bin/qemu-system-x86_64 \
-name guest=demo:web,debug-threads=on \
-object '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/domain-8-demo/master-key.aes"}' \
-msg timestamp=on
`
	first = "2026-11-28 11:21:40.000+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.22, hostname: a\n" + command +
		"2026-11-28T11:21:41.000000Z qemu-system-x86_64: an earlier run\n" +
		"2026-11-28 11:21:42.020+0000: shutting down, reason=failed\n"
	head = "2026-11-28 11:21:55.801+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.22, hostname: a\n" + command +
		"2026-11-28 11:21:55.801+0000: Domain id=8 is tainted: high-privileges\n" +
		"char device redirected to /dev/pts/1 (label charserial0)\n"
	tail = "2026-11-28 11:21:56.020+0000: shutting down, reason=crashed\n"
)

func TestLastWords(t *testing.T) {
	long := strings.Repeat("ä", maxBytes)
	for name, test := range map[string]struct{ text, want string }{
		"nothing":       {"", ""},
		"a silent QEMU": {first + head + tail, ""},
		"its own":       {first + head + "2026-11-28T11:21:56.016350Z qemu-system-x86_64: Image is not in qcow2 format\n" + tail, "qemu-system-x86_64: Image is not in qcow2 format"},
		"several lines without times": {
			head + "ERROR:../tcg/region.c:393:tcg_region_initial_alloc__locked: assertion failed: (!err)\nBail out! ERROR:../tcg/region.c:393\n" + tail,
			"ERROR:../tcg/region.c:393:tcg_region_initial_alloc__locked: assertion failed: (!err); Bail out! ERROR:../tcg/region.c:393",
		},
		"one that is not over":             {head + "2026-11-28T11:21:56Z qemu: still there", "qemu: still there"},
		"the last of many":                 {head + strings.Repeat("again and again\n", 500) + "a\nb\nc\nd\n", "a; b; c; d"},
		"an end of a log, amid its run":    {"n said\nsecond\n", "n said; second"},
		"an end of a log, amid a command":  {"ord=hunter2 \\\n-msg timestamp=on\nqemu: broken\n" + tail, "qemu: broken"},
		"what is cut after its last slash": {"-object secret \\", ""},
		"a password":                       {head + "qemu: -device x,password=hunter2: no such device\n", "qemu: -device x,password=***: no such device"},
		"a secret in JSON":                 {head + `qemu: -object {"qom-type":"secret","data":"hunter2"}: broken`, `qemu: -object {"qom-type":"secret","data":"***"}: broken`},
		"control characters":               {head + "qemu: \x1b[31mred\x1b[0m \xff\x00end\r\n", "qemu: [31mred[0m end"},
		"a line without end":               {head + "x" + long + "end", "..." + long[:maxBytes-6] + "end"},
	} {
		t.Run(name, func(t *testing.T) {
			got := LastWords([]byte(test.text), time.Time{})
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if len(got) > maxBytes || !utf8.ValidString(got) {
				t.Errorf("%d bytes, valid %t", len(got), utf8.ValidString(got))
			}
		})
	}
}

func TestWhatAnEarlierRunSaidIsNotTakenForTheLast(t *testing.T) {
	at := time.Date(2026, 11, 28, 11, 21, 55, 900e6, time.UTC)
	if got := LastWords([]byte(head+"qemu: broken\n"), at); got != "qemu: broken" {
		t.Errorf("of the same second: %q", got)
	}
	if got := LastWords([]byte(head+"qemu: broken\n"), at.Add(time.Second)); got != "" {
		t.Errorf("of a start after it: %q", got)
	}
}

func TestReadFindsTheDomainsLogAndNoOther(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("demo:web.log", head+strings.Repeat("far too much\n", 20000)+"the end\n")
	write(".log", "hidden\n")
	if err := os.Mkdir(filepath.Join(dir, "folder.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{"demo:web": "far too much; far too much; far too much; the end", "demo:none": ""} {
		if got, err := Read(dir, domain, time.Time{}); got != want || err != nil {
			t.Errorf("%s: %q, %v", domain, got, err)
		}
	}
	for _, domain := range []string{"", "..", "../" + filepath.Base(dir) + "/demo:web", "folder"} {
		if got, err := Read(dir, domain, time.Time{}); got != "" || err == nil {
			t.Errorf("%q: %q, %v", domain, got, err)
		}
	}
}
