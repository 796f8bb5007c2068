package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// correct has what libcni keeps of a plugin's answer say which address the card was
// given since: plugins compare it at CHECK. What has no answer, or one that names no
// interfaces (before version 0.3.0), stays as it is.
func correct(path, space, card, mac string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the plugins' answer: %w", err)
	}
	changed, err := withMAC(data, space, card, mac)
	if err != nil || changed == nil {
		return err
	}
	// A crash amid it leaves a record that is not settled, and the card is made anew.
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		return fmt.Errorf("correcting the plugins' answer: %w", err)
	}
	return nil
}

// withMAC is a cached answer with another address for one interface; nil when it
// says so already. Everything else is kept as it is, known or not.
func withMAC(data []byte, space, card, mac string) ([]byte, error) {
	var cache map[string]json.RawMessage
	var result map[string]json.RawMessage
	var interfaces []map[string]any
	if err := json.Unmarshal(data, &cache); err != nil {
		return nil, fmt.Errorf("reading the plugins' answer: %w", err)
	}
	if cache["result"] == nil || json.Unmarshal(cache["result"], &result) != nil ||
		result["interfaces"] == nil || json.Unmarshal(result["interfaces"], &interfaces) != nil {
		return nil, nil
	}
	changed := false
	for _, i := range interfaces {
		if i["name"] == card && i["sandbox"] == space && i["mac"] != mac {
			i["mac"], changed = mac, true
		}
	}
	if !changed {
		return nil, nil
	}
	var err error
	if result["interfaces"], err = json.Marshal(interfaces); err == nil {
		cache["result"], err = json.Marshal(result)
	}
	if err != nil {
		return nil, fmt.Errorf("correcting the plugins' answer: %w", err)
	}
	return json.Marshal(cache)
}
