package walletd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bar is a progress bar on a terminal, and nothing elsewhere.
type bar struct {
	progress *mpb.Progress

	mu   sync.Mutex // guards the rest
	bar  *mpb.Bar
	name string
}

func (a *app) bar(name string) *bar {
	if !terminal(a.err) {
		return &bar{}
	}
	b := &bar{progress: mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(48)), name: name}
	b.bar = b.progress.New(0, mpb.BarStyle(), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.name + " "
		})), mpb.AppendDecorators(decor.Percentage(), decor.Name("  "), decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "")))
	return b
}

// set tells how much of how much is done: a reader's Progress callback.
func (b *bar) set(done, total int64) {
	if b.bar == nil {
		return
	}
	b.bar.SetTotal(max(total, done+1), false)
	b.bar.SetCurrent(done)
}

// stage names what is going on, and how far it is: 0 … 1.
func (b *bar) stage(name string, share float64) {
	if b.bar == nil {
		return
	}
	b.mu.Lock()
	b.name = name
	b.mu.Unlock()
	b.set(int64(share*1000), 1000)
}

// done takes the bar away.
func (b *bar) done() {
	if b.bar == nil {
		return
	}
	b.bar.Abort(true)
	b.progress.Wait()
}

// child runs this program again until it ends, or ctx ends: then it is told to stop, and waited for.
func (a *app) child(ctx context.Context, self string, args ...string) error {
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = io.Discard
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's Ctrl-C is ours to pass on
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("walletd %s: %w", args[0], err)
}

// awaitFile waits until a file is there.
func awaitFile(ctx context.Context, path string) error {
	for {
		_, err := os.Stat(path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
