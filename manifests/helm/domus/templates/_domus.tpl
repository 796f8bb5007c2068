{{/* The image of .image; the chart's appVersion is its tag when it has none. */}}
{{- define "domus.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Each of imagePullSecrets as a pod names it. */}}
{{- define "domus.pullSecrets" -}}
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end -}}
