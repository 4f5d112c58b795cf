{{- define "fi-fhir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "fi-fhir.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "fi-fhir.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "fi-fhir.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "fi-fhir.selector" -}}
app.kubernetes.io/name: {{ include "fi-fhir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fi-fhir.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "fi-fhir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "fi-fhir.account" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "fi-fhir.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "fi-fhir.secret" -}}
{{- default (include "fi-fhir.fullname" .) .Values.existingSecret }}
{{- end }}

{{- define "fi-fhir.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The API key: the one given, else the one the Secret already has, else a new one. */}}
{{- define "fi-fhir.apiKey" -}}
{{- $kept := (lookup "v1" "Secret" .Release.Namespace (include "fi-fhir.fullname" .)).data }}
{{- if .Values.secrets.apiKey }}
{{- .Values.secrets.apiKey }}
{{- else if and $kept (index $kept "api-key") }}
{{- index $kept "api-key" | b64dec }}
{{- else }}
{{- randAlphaNum 43 }}
{{- end }}
{{- end }}

{{/* Whether more than one pod may run at a time. */}}
{{- define "fi-fhir.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}yes{{ end }}
{{- end }}

{{- define "fi-fhir.check" -}}
{{- if and (include "fi-fhir.several" .) (not .Values.config.database.enabled) }}
{{- fail "More than one pod needs one store they share: set config.database.enabled=true and the database's secrets (or replicaCount=1 and autoscaling.enabled=false). SQLite is one pod's." }}
{{- end }}
{{- if and .Values.config.database.enabled (not .Values.existingSecret) (not .Values.secrets.database.host) }}
{{- fail "config.database.enabled needs secrets.database.host, or existingSecret with the key database-host." }}
{{- end }}
{{- if and .Values.certificate.enabled (not .Values.ingress.tls) }}
{{- fail "certificate.enabled needs ingress.tls, which says for which host names it is." }}
{{- end }}
{{- end }}
