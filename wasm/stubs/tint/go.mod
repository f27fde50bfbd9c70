module github.com/lmittmann/tint

go 1.26.0
