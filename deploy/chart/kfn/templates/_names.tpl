{{/* Names, labels and images. Objects are called kfn-<component>, whatever the release is called: functions find the parts by these names,
and CRDs and webhooks allow one kfn in a cluster anyway. */}}

{{- define "kfn.labels" -}}
app.kubernetes.io/name: kfn
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: kfn
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "kfn.selector" -}}
app.kubernetes.io/name: kfn
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* HOST/PREFIX/REPOSITORY:TAG or @DIGEST. image: the values of one image; fallback: those whose registry it takes without one of its own. */}}
{{- define "kfn.image" -}}
{{- $registry := .image.registry | default .fallback.registry -}}
{{- if not $registry -}}
{{- fail (printf "image.registry: say where the image %q is, for example registry.example/team; `kfn images --registry HOST/PREFIX` makes and pushes it" .image.repository) -}}
{{- end -}}
{{- $name := printf "%s/%s" (trimSuffix "/" $registry) .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "kfn.kfnImage" -}}
{{- include "kfn.image" (dict "root" . "image" .Values.image "fallback" .Values.image) -}}
{{- end }}

{{- define "kfn.serviceAccount" -}}
kfn-{{ .component }}
{{- end }}

{{/* NAME.NAMESPACE.svc.CLUSTER-DOMAIN */}}
{{- define "kfn.host" -}}
{{ .name }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end }}

{{- define "kfn.tokensSecret" -}}
{{ .Values.tokens.existingSecret | default "kfn-tokens" }}
{{- end }}

{{- define "kfn.natsSecret" -}}
{{ .Values.nats.auth.existingSecret | default "kfn-nats" }}
{{- end }}

{{/* Whether NATS has accounts and TLS: true, or empty. */}}
{{- define "kfn.natsAccounts" -}}
{{- with .Values.nats -}}
{{- if and .enabled (or (eq .accounts "on") (and (eq .accounts "auto") (eq (int .replicas) 1) (not .auth.existingSecret))) -}}true{{- end -}}
{{- end -}}
{{- end }}

{{- define "kfn.natsUrl" -}}
{{- if .Values.nats.enabled -}}
{{ ternary "tls" "nats" (eq (include "kfn.natsAccounts" .) "true") }}://{{ include "kfn.host" (dict "root" . "name" "kfn-nats") }}:4222
{{- else -}}
{{- required "nats.url: with nats.enabled=false, say where the NATS server is, for example nats://nats.messaging:4222" .Values.nats.url -}}
{{- end -}}
{{- end }}

{{/* How many copies of an event NATS keeps: as many as there are servers of ours. */}}
{{- define "kfn.streamReplicas" -}}
{{- if .Values.nats.enabled -}}{{ .Values.nats.replicas }}{{- else -}}{{ .Values.nats.streamReplicas }}{{- end -}}
{{- end }}

{{/* What users work with, by group: the plurals of the CRDs. */}}
{{- define "kfn.groups" -}}
{{- $groups := dict -}}
{{- range $path, $_ := .Files.Glob "files/crds/*.yaml" -}}
{{- $spec := ($.Files.Get $path | fromYaml).spec -}}
{{- $_ := set $groups $spec.group (append (get $groups $spec.group | default list) $spec.names.plural) -}}
{{- end -}}
{{ toYaml $groups }}
{{- end }}
