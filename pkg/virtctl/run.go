package virtctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"domus.dev/domus/pkg/virtctl/failure"
)

var errInterrupted = errors.New("interrupted")

// Main runs the program that argv calls, prints what failed, and returns the exit
// code. It sets what is global to a process: logs and signals.
func Main(argv []string, programVersion string, in io.Reader, out, errOut io.Writer) int {
	// What libraries log is for their authors; errors are returned.
	klog.SetLogger(logr.Discard())
	ctrllog.SetLogger(logr.Discard())
	rest.SetDefaultWarningHandler(rest.NewWarningWriter(errOut, rest.WarningWriterOptions{Deduplicate: true}))

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		// A second one ends the program at once.
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		cancel(errInterrupted)
	}()
	return int(run(ctx, argv, programVersion, in, out, errOut))
}

func run(ctx context.Context, argv []string, programVersion string, in io.Reader, out, errOut io.Writer) failure.Code {
	as, args := called(argv)
	root := newCommand(as, programVersion, in, out, errOut)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return failure.Done
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	for _, e := range failure.List(err) {
		_, _ = fmt.Fprintf(errOut, "%s: %s\n", as.display, as.say(hintsIn(cmd, e.Error())))
	}
	code := failure.CodeOf(err)
	if code == failure.Misused {
		_, _ = fmt.Fprintf(errOut, "See `%s --help`.\n", cmd.CommandPath())
	}
	return code
}

// wrapArgs gives what cobra finds wrong with a command line its exit code.
func wrapArgs(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return failure.Usage("%w", err)
			}
			return nil
		}
	}
}

// flagError says what is wrong with a flag; of a number in words for people.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	var number *strconv.NumError
	if !errors.As(err, &invalid) || !errors.As(err, &number) || number.Func == "ParseBool" {
		return failure.Usage("%w", err)
	}
	what := "is not a whole number"
	if errors.Is(number, strconv.ErrRange) {
		what = "is out of range"
	}
	return failure.Usage("--%s=%s: %s %s", invalid.GetFlag().Name, invalid.GetValue(), number.Num, what)
}

// unknownCommand refuses what is no command, and names what is like it.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	like := ""
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		like = ": is it " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("there is no command %q%s", args[0], like)
}
