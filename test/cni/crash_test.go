package cni

const childVariable = "DOMUS_CNI_CHILD"

func child() {}
