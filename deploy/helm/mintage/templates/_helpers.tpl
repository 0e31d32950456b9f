{{- define "mintage.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "mintage.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mintage.labels" -}}
{{ include "mintage.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "mintage.settings" -}}
{{- $settings := deepCopy .Values.settings }}
{{- $_ := set $settings "secret" "file:/run/secrets/mintage/root" }}
{{- if .Values.secrets.store }}{{ $_ := set $settings "store" "file:/run/secrets/mintage/store" }}{{ end }}
{{- if .Values.persistence.enabled }}{{ $_ := set $settings "store" "sqlite:///var/lib/mintage/mintage.db" }}{{ end }}
{{- if and .Values.secrets.upstream (kindIs "map" $settings.upstream) (not $settings.upstream.client_secret) }}
{{- $_ := set $settings.upstream "client_secret" "file:/run/secrets/mintage/upstream" }}
{{- end }}
{{- if .Values.metrics.enabled }}{{ $_ := set $settings "metrics" (dict "listen" (printf "0.0.0.0:%v" .Values.metrics.port)) }}{{ end }}
{{- toToml $settings }}
{{- end }}
