{{/* Name of everything in the release: its own name, with "drydock" in it. 52 characters leave room for suffixes. */}}
{{- define "drydock.name" -}}
{{- if contains "drydock" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-drydock" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Of what has no namespace: two releases of one name may live in two. */}}
{{- define "drydock.clusterName" -}}
{{ include "drydock.name" . }}-{{ .Release.Namespace }}
{{- end }}

{{- define "drydock.serviceAccount" -}}
{{ .Values.serviceAccount.existing | default (include "drydock.name" .) }}
{{- end }}

{{- define "drydock.selector" -}}
app.kubernetes.io/name: drydock
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "drydock.labels" -}}
{{ include "drydock.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: drydock
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* An image: (list $ .Values.operator.image) */}}
{{- define "drydock.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 }}
{{- with $image.registry | default $root.Values.image.registry }}{{ . }}/{{ end }}
{{- $image.repository }}:{{ $image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{/* What the operator may do where it watches: what it does, and nothing else. */}}
{{- define "drydock.rules" -}}
- apiGroups: [drydock.dev]
  resources: [modeldeployments]
  verbs: [get, list, watch]
- apiGroups: [drydock.dev]
  resources: [modeldeployments/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Routes of a ModelDeployment with `router: Gateway`; the cluster need not have these kinds.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, watch, create, patch, delete]
# Replicas of a revision without an autoscaler.
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# The share of requests that a stable pod sends to the canary is an annotation of the pod.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
