// Command notices writes THIRD_PARTY_NOTICES: what others wrote that is linked
// into our programs, and the licences under which we pass it on. It runs in the
// root of the repository (make notices).
//
// Its test fails when the file is not what this command would write now, so that
// a new module cannot come in unseen, and when a module has a licence that asks
// more than to keep its text.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

// fileName is where the notices stand, in the root of the repository.
const fileName = "THIRD_PARTY_NOTICES"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	document, err := generate(ctx, ".")
	if err != nil {
		return err
	}
	return os.WriteFile(fileName, []byte(document), 0o644)
}

// generate makes the text of the notices for the repository at root.
func generate(ctx context.Context, root string) (string, error) {
	modules, err := linked(ctx, root)
	if err != nil {
		return "", err
	}
	parts := []part{goItself()}
	for _, m := range modules {
		l, err := readLicence(m)
		if err != nil {
			return "", err
		}
		parts = append(parts, part{name: m.Path + " " + m.Version, licence: l})
	}
	files, err := vendored(root)
	if err != nil {
		return "", err
	}
	return render(append(parts, files...)), nil
}
