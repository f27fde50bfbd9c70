// Package attribute is an inert stand-in for the build with wasm.mod only.
package attribute

type (
	KeyValue struct{ Key, Value string }
	Set      struct{}
)

var empty Set

func EmptySet() *Set              { return &empty }
func NewSet(...KeyValue) Set      { return Set{} }
func (*Set) Len() int             { return 0 }
func (*Set) Equivalent() Set      { return Set{} }
func (*Set) ToSlice() []KeyValue  { return nil }
func String(k, v string) KeyValue { return KeyValue{k, v} }

type MergeIterator struct{}

func NewMergeIterator(a, b *Set) MergeIterator { return MergeIterator{} }
func (*MergeIterator) Next() bool              { return false }
func (*MergeIterator) Attribute() KeyValue     { return KeyValue{} }
func (*MergeIterator) Label() KeyValue         { return KeyValue{} }
