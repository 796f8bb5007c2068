package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MissedRunPolicy says what becomes of runs whose time passed while nobody could
// begin them.
// +kubebuilder:validation:Enum=RunLast;Skip
type MissedRunPolicy string

const (
	// MissedRunLast makes up for the last of them, once.
	MissedRunLast MissedRunPolicy = "RunLast"
	// MissedSkip leaves all of them out that are late by more than a minute.
	MissedSkip MissedRunPolicy = "Skip"
)

// SnapshotTemplate is what each snapshot of a schedule is.
type SnapshotTemplate struct {
	// memory says whether the guest's memory is in the snapshots, and where.
	// +kubebuilder:default=None
	// +optional
	Memory SnapshotMemory `json:"memory,omitempty"`
	// quiesce says whether the guest's file systems are brought to rest first.
	// +kubebuilder:default=IfPossible
	// +optional
	Quiesce QuiescePolicy `json:"quiesce,omitempty"`
	// description is for people.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Description string `json:"description,omitempty"`
}

// SnapshotRetention says which of the snapshots that a schedule has made are kept.
// Of each VM a snapshot is deleted that neither of the two keeps, but never the
// newest that is good. Without either all are kept.
type SnapshotRetention struct {
	// keepLast is how many of the newest good snapshots of each VM are kept, and of
	// the failed ones that no good one has followed.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	KeepLast *int32 `json:"keepLast,omitempty"`
	// keepFor is how long snapshots are kept, such as 168h.
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) >= duration('1m')",message="must be a length of time of at least 1m, in hours, minutes and seconds, such as 168h for a week"
	// +optional
	KeepFor *metav1.Duration `json:"keepFor,omitempty"`
}

// VirtualMachineSnapshotScheduleSpec is what the user wants.
// +kubebuilder:validation:ExactlyOneOf=virtualMachineName;selector
type VirtualMachineSnapshotScheduleSpec struct {
	// schedule says when snapshots are made, as five fields of cron (minute, hour,
	// day of the month, month, day of the week), or @hourly, @daily, @weekly, @monthly,
	// @yearly. When it is edited it counts from then on.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Schedule string `json:"schedule"`

	// timeZone is where schedule's clock is, such as Europe/Berlin. Default Etc/UTC.
	// Where clocks are put forward, a time that there is not falls out; where they
	// are put back, one that there is twice comes twice.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// virtualMachineName is the one VM of the namespace whose snapshots are made.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	VirtualMachineName string `json:"virtualMachineName,omitempty"`

	// selector selects VMs of the namespace by their labels, anew for each run. An
	// empty one selects all.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// template is what each snapshot is.
	// +optional
	Template SnapshotTemplate `json:"template,omitzero"`

	// retention says which snapshots are kept.
	// +optional
	Retention SnapshotRetention `json:"retention,omitzero"`

	// suspend has no snapshot made, and none deleted, while it is true. Runs that fall
	// due meanwhile are left out.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// startingDeadlineSeconds is how late a run may begin. Default: as late as it may
	// be, as missedRuns says.
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// missedRuns says what becomes of runs whose time passed while nobody could begin
	// them, as while vm-scheduler was away.
	// +kubebuilder:default=RunLast
	// +optional
	MissedRuns MissedRunPolicy `json:"missedRuns,omitempty"`
}

// Conditions and reasons of a VirtualMachineSnapshotSchedule.
const (
	// ConditionScheduleReady is True while snapshots are made by the schedule.
	ConditionScheduleReady = "Ready"
	// ReasonWaitingForTime is its reason then. ReasonSuspended: spec.suspend.
	// ReasonInvalidSchedule, ReasonInvalidTimeZone and ReasonInvalidSelector: the field
	// cannot be understood.
	ReasonWaitingForTime  = "WaitingForTime"
	ReasonSuspended       = "Suspended"
	ReasonInvalidSchedule = "InvalidSchedule"
	ReasonInvalidTimeZone = "InvalidTimeZone"
	ReasonInvalidSelector = "InvalidSelector"

	// ConditionLastRun says what came of the last run: True when each VM has a good
	// snapshot of it, Unknown while one is being made.
	ConditionLastRun = "LastRun"
	// ReasonSnapshotsReady, ReasonSnapshotsUnderWay and ReasonSnapshotsFailed are its
	// reasons. ReasonNoVirtualMachine: the schedule has no VM. ReasonRunsMissed: a run
	// was left out that came too late.
	ReasonSnapshotsReady    = "SnapshotsReady"
	ReasonSnapshotsUnderWay = "SnapshotsUnderWay"
	ReasonSnapshotsFailed   = "SnapshotsFailed"
	ReasonNoVirtualMachine  = "NoVirtualMachine"
	ReasonRunsMissed        = "RunsMissed"
)

// ScheduleLabel is on each snapshot that a schedule has made, and has the schedule's
// UID; ScheduledAtAnnotation has the time that it was due, in RFC 3339.
const (
	ScheduleLabel         = "domus.dev/snapshot-schedule"
	ScheduledAtAnnotation = "domus.dev/scheduled-at"
)

// VirtualMachineSnapshotScheduleStatus is what Domus knows. Writer: vm-scheduler.
type VirtualMachineSnapshotScheduleStatus struct {
	// observedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// lastScheduleTime is when the last run was due that was begun or left out.
	// +optional
	LastScheduleTime *metav1.Time `json:"lastScheduleTime,omitempty"`
	// lastSuccessfulTime is when a run was due of which each VM has a good snapshot.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`
	// nextTime is when the next run is due.
	// +optional
	NextTime *metav1.Time `json:"nextTime,omitempty"`
	// active are the snapshots that are being made, by name, sorted; not more than
	// there is room for.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Active []string `json:"active,omitempty"`
	// snapshots is how many snapshots of the schedule there are.
	// +optional
	Snapshots int32 `json:"snapshots,omitempty"`
	// conditions: Ready and LastRun.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VirtualMachineSnapshotSchedule has snapshots of VMs made again and again, and old
// ones deleted.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vmsnapsched,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Suspend",type=boolean,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Last",type=date,JSONPath=`.status.lastScheduleTime`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextTime`
// +kubebuilder:printcolumn:name="Snapshots",type=integer,JSONPath=`.status.snapshots`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.status!="True")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualMachineSnapshotSchedule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualMachineSnapshotScheduleSpec `json:"spec"`
	// +optional
	Status VirtualMachineSnapshotScheduleStatus `json:"status,omitzero"`
}

// VirtualMachineSnapshotScheduleList is a list of VirtualMachineSnapshotSchedules.
// +kubebuilder:object:root=true
type VirtualMachineSnapshotScheduleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualMachineSnapshotSchedule `json:"items"`
}
