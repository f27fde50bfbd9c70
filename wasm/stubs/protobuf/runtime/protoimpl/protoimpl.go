// Package protoimpl is an inert stand-in, for the build with wasm.mod only.
package protoimpl

import (
	pr "google.golang.org/protobuf/reflect/protoreflect"
	"unsafe"
)

const (
	MaxVersion    = 33
	MinVersion    = 20
	UnsafeEnabled = false
)

type EnforceVersion uint
type (
	MessageState struct {
		pr.Message
		mi *MessageInfo
	}
	SizeCache       = int32
	UnknownFields   = []byte
	Pointer         unsafe.Pointer
	ExtensionFields = map[int32]any
)

func (ms *MessageState) StoreMessageInfo(mi *MessageInfo) { ms.mi = mi }
func (ms *MessageState) LoadMessageInfo() *MessageInfo    { return ms.mi }

type EnumInfo struct{}

func (*EnumInfo) Descriptor() pr.EnumDescriptor { return nil }

type MessageInfo struct{ Exporter func(any, int) any }

func (*MessageInfo) MessageOf(any) pr.Message { return nil }

type DescBuilder struct {
	GoPackagePath                                     string
	RawDescriptor                                     []byte
	NumEnums, NumMessages, NumExtensions, NumServices int32
}
type TypeBuilder struct {
	File              DescBuilder
	GoTypes           []any
	DependencyIndexes []int32
	EnumInfos         []EnumInfo
	MessageInfos      []MessageInfo
}
type Out struct{ File pr.FileDescriptor }

func (TypeBuilder) Build() Out { return Out{} }

type x struct{}

var X x

func (x) CompressGZIP(b []byte) []byte                             { return b }
func (x) EnumStringOf(_ pr.EnumDescriptor, n pr.EnumNumber) string { return "" }
func (x) MessageStateOf(p Pointer) *MessageState                   { return (*MessageState)(p) }
func (x) MessageStringOf(m pr.ProtoMessage) string {
	if p, ok := m.(interface {
		GetAddress() string
		GetId() string
	}); ok {
		return p.GetAddress() + "/" + p.GetId()
	}
	return ""
}
