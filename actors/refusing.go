package actors

import "github.com/mqttdb/mqttdb/persistence"

// sortOut is for a commit that was refused: what was settled is written alone,
// then the first request. Whichever is refused again is out of the way then, and
// the others are not its fault.
func (a *queue) sortOut() error {
	c := &a.scratch
	if a.anySettled() {
		if err := a.recordSettled(); err != nil {
			return err
		}
	}
	if len(a.waiting) == 0 {
		return nil
	}
	*c = persistence.Commit{Messages: c.Messages[:0]}
	n, whole := a.gather(c, 1)
	first, err := a.handle.Write(a.context(), *c)
	clear(c.Messages)
	switch {
	case persistence.Refused(err):
		a.takeBack()
		a.collected -= a.waiting[0].cost.Bytes
		a.answer(&a.waiting, 1, a.storeError("write to", err))
		return nil
	case err != nil:
		return err
	}
	a.wrote(first, n, whole)
	return nil
}
