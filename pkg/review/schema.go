package review

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// schema is the CustomResourceDefinition's, with its CEL rules, evaluated as the
// API server does.
type schema struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

func newSchema() (*schema, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(manifests.PlacementReviewCRD, crd); err != nil {
		return nil, fmt.Errorf("reading the definition of PlacementReviews: %w", err)
	}
	for _, v := range crd.Spec.Versions {
		if v.Name != v1alpha1.GroupVersion.Version {
			continue
		}
		props := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, props, nil); err != nil {
			return nil, fmt.Errorf("reading the schema of PlacementReviews: %w", err)
		}
		structural, err := structuralschema.NewStructural(props)
		if err != nil {
			return nil, fmt.Errorf("reading the schema of PlacementReviews: %w", err)
		}
		validator, _, err := validation.NewSchemaValidator(props)
		if err != nil {
			return nil, fmt.Errorf("reading the schema of PlacementReviews: %w", err)
		}
		return &schema{structural: structural, validator: validator, rules: cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
	}
	return nil, fmt.Errorf("the definition of PlacementReviews has no version %s", v1alpha1.GroupVersion.Version)
}

// validate returns what the schema refuses in a review. The status is left out:
// it is to be replaced.
func (s *schema) validate(ctx context.Context, raw []byte) (field.ErrorList, error) {
	var obj map[string]any
	// Numbers become int64 or float64, as the validators expect them.
	if err := json.UnmarshalCaseSensitivePreserveInts(raw, &obj); err != nil {
		return nil, apierrors.NewBadRequest("decoding the PlacementReview: " + err.Error())
	}
	delete(obj, "status")
	errs := validation.ValidateCustomResource(nil, obj, s.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, obj)...)
	if len(errs) > 0 {
		// The rules take for granted what the schema demands.
		return errs, nil
	}
	errs, _ = s.rules.Validate(ctx, nil, s.structural, obj, nil, celconfig.RuntimeCELCostBudget)
	return errs, nil
}
