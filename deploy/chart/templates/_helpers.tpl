{{- define "rokopia.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "rokopia.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The volume with the repository. */}}
{{- define "rokopia.repository" -}}
- name: repository
{{- if .Values.repository.claim }}
  persistentVolumeClaim:
    claimName: {{ .Values.repository.claim }}
    readOnly: true
{{- else }}
  nfs:
    server: {{ .Values.repository.nfs.server }}
    path: {{ .Values.repository.nfs.path }}
    readOnly: true
{{- end }}
{{- end }}

{{- define "rokopia.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.repository.user }}
runAsGroup: {{ .Values.repository.group }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "rokopia.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Which claims the webhooks are asked about. */}}
{{- define "rokopia.claims" -}}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ append .Values.admission.excludedNamespaces .Release.Namespace | uniq | toJson }}
objectSelector:
  matchExpressions:
    - key: {{ .Values.admission.label }}
      operator: In
      values: {{ toJson .Values.admission.labelValues }}
rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [persistentvolumeclaims]
    scope: Namespaced
{{- end }}
