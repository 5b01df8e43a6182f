{{/* The ConfigMap kfn-config: keys as Knative has them where it has one. `--stable-window` of a process is KFN_STABLE_WINDOW in its environment. */}}

{{- define "kfn.controllerKeys" -}}
domain scheme cluster-domain gateway-host progress-deadline initial-ready-timeout allow-zero-initial-scale secure-pod-defaults retain-since-create-time retain-since-last-active-time min-non-active-revisions max-non-active-revisions pre-stop resolve-tags resolve-timeout registries-skipping-tag-resolving
{{- end }}

{{- define "kfn.autoscalerKeys" -}}
progress-deadline stable-window panic-window-percentage panic-threshold-percentage target-utilization-percentage concurrency-target rps-target initial-scale min-scale max-scale scale-down-delay retention scale-to-zero max-scale-up-rate max-scale-down-rate first-wave wave
{{- end }}

{{- define "kfn.config" -}}
domain: {{ .Values.domain | quote }}
scheme: {{ .Values.scheme | quote }}
cluster-domain: {{ printf "svc.%s" .Values.clusterDomain | quote }}
gateway-host: {{ include "kfn.host" (dict "root" . "name" "kfn-gateway-internal") | quote }}
resolve-tags: {{ .Values.digestResolution.enabled | quote }}
resolve-timeout: {{ .Values.digestResolution.timeoutSeconds | quote }}
registries-skipping-tag-resolving: {{ join "," .Values.digestResolution.skipped | quote }}
{{- range $key, $value := .Values.config }}
{{ kebabcase $key }}: {{ $value | toJson | trimAll "\"" | quote }}
{{- end }}
{{- end }}

{{/* keys: those of the ConfigMap that a process takes. */}}
{{- define "kfn.configEnv" -}}
{{- range splitList " " .keys }}
- name: KFN_{{ . | upper | replace "-" "_" }}
  valueFrom:
    configMapKeyRef:
      name: kfn-config
      key: {{ . }}
{{- end }}
{{- end }}
