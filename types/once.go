package types

// Once says how a repeat of a message is told from a new one, so that it is not
// stored a second time. It goes with the Origin of the message, and is not stored
// with it. The zero value says that each is a new one.
type Once struct {
	Rule OnceRule
	Hash uint64 // Open: of what the publisher has sent, the same in each repeat
	Dup  bool   // Open: the publisher says that it may have sent it before
	New  bool   // Open, Imported: whatever it looks like, it is not a repeat
}

// OnceRule is what the id of an Origin means for repeats.
type OnceRule uint8

const (
	// EachNew: nothing. Every message is a new one.
	EachNew OnceRule = iota

	// Rising: the ids of a source rise with its messages (S6.2). One that is not
	// above the highest that is stored is a repeat.
	Rising

	// Open: the id is the packet id of an exchange at QoS 2, which is open until
	// it is closed (S2.1). A message of an id that is open, with the same Hash, is
	// a repeat; with another it is a new one, and the exchange is its own then.
	Open

	// Imported: the source stands for a store, and the id is the number that the
	// message had there (S7.6). One that was imported before is a repeat, and so is,
	// even if it is New, one that is pending in that very store.
	Imported
)
