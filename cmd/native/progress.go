//go:build !js

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/mqttdb/mqttdb/cmd/native/prove"
)

// progress is a progress bar on a terminal, and nothing elsewhere.
type progress struct {
	out io.Writer
	bar *progressbar.ProgressBar // nil until something is shown, and without a terminal
}

func newProgress(out io.Writer) *progress {
	if f, ok := out.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		out = nil
	}
	return &progress{out: out}
}

// show shows how far a proof is.
func (p *progress) show(now prove.Progress) {
	if p.out == nil {
		return
	}
	text := fmt.Sprintf("QoS %d, kill %d of %d, cut %d of %d", now.QoS, now.Kills, now.OfKills, now.Cuts, now.OfCuts)
	if p.bar == nil {
		p.bar = progressbar.NewOptions(now.Of, progressbar.OptionSetWriter(p.out), progressbar.OptionFullWidth(), progressbar.OptionSetDescription(text),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish())
	}
	p.bar.ChangeMax(now.Of)
	p.bar.Describe(text)
	_ = p.bar.Set(now.Done) // an error is one of the terminal
}

// bytes shows how much of something was done, in bytes.
func (p *progress) bytes(what string, done, all int64) {
	if p.out == nil {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(all, progressbar.OptionSetWriter(p.out), progressbar.OptionFullWidth(), progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set64(done) // an error is one of the terminal
}

// count shows how many messages were seen to, of a number that nobody knows.
func (p *progress) count(what string, done uint64) {
	if p.out == nil {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set64(int64(done)) // an error is one of the terminal
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
