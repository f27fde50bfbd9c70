package broker_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
)

func TestHint(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"none", errors.New("x"), ""},
		{"nil", nil, ""},
		{"refused", fmt.Errorf("dial: %w", &broker.RefusedError{Code: broker.BadClientID}), "set another client_id"},
		{"hinted", fmt.Errorf("dial: %w", &broker.HintedError{Err: errors.New("x"), Advice: "do y"}), "do y"},
		{"the outermost", &broker.HintedError{Err: &broker.HintedError{Err: errors.New("x"), Advice: "inner"}, Advice: "outer"}, "outer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := broker.Hint(test.err); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
