package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// configTable has a row for each field of the struct called name, and of the structs
// that it is made of, as the package in dir has them: key, type and doc comment.
func configTable(dir, name string) (string, error) {
	structs := map[string]*ast.StructType{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return "", err
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if spec, is := node.(*ast.TypeSpec); is {
				if of, is := spec.Type.(*ast.StructType); is {
					structs[spec.Name.Name] = of
				}
			}
			return true
		})
	}
	if structs[name] == nil {
		return "", fmt.Errorf("%s has no struct %s", dir, name)
	}
	var out strings.Builder
	out.WriteString("| key | type | |\n|---|---|---|\n")
	configRows(&out, structs, "", name)
	return out.String(), nil
}

func configRows(out *strings.Builder, structs map[string]*ast.StructType, path, name string) {
	for _, field := range structs[name].Fields.List {
		key := jsonKey(field)
		if key == "" {
			if embedded := strings.TrimPrefix(types.ExprString(field.Type), "*"); len(field.Names) == 0 && structs[embedded] != nil {
				configRows(out, structs, path, embedded)
			}
			continue
		}
		kind := strings.TrimPrefix(types.ExprString(field.Type), "*")
		item, list := strings.CutPrefix(kind, "[]")
		at := path + key
		shown := map[string]string{"resource.Quantity": "quantity", "metav1.Duration": "duration"}[item]
		switch {
		case shown != "":
		case structs[item] != nil:
			shown = "object"
		default:
			shown = item
		}
		if list {
			shown = "list of " + shown
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", at, cell(shown), cell(field.Doc.Text()))
		if structs[item] != nil {
			if list {
				at += "[]"
			}
			configRows(out, structs, at+".", item)
		}
	}
}

// jsonKey is the field's key in a file; empty where it has none.
func jsonKey(field *ast.Field) string {
	if field.Tag == nil {
		return ""
	}
	tag, err := strconv.Unquote(field.Tag.Value)
	if err != nil {
		return ""
	}
	key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	return strings.TrimPrefix(key, "-")
}
