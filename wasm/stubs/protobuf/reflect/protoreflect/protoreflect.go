// Package protoreflect is an inert stand-in, for the build with wasm.mod only.
package protoreflect

type EnumNumber int32
type EnumDescriptor interface{ isEnumDescriptor() }
type EnumType interface{ Descriptor() EnumDescriptor }
type FileDescriptor interface{ isFileDescriptor() }
type Message interface{ isMessage() }
type ProtoMessage interface{ ProtoReflect() Message }
