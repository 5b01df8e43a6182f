{{/* Pieces of NetworkPolicies. */}}

{{- define "kfn.policyMeta" -}}
name: {{ .name | default (printf "kfn-%s" .component) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "kfn.labels" (dict "root" .root "component" .component) | nindent 2 }}
{{- end }}

{{- define "kfn.policyDns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicy.dns.namespaceLabels | nindent 10 }}
    {{- range .Values.networkPolicy.dns.cidrs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{- define "kfn.policyApi" -}}
- {{ if .Values.networkPolicy.apiServer.cidrs }}to:
    {{- range .Values.networkPolicy.apiServer.cidrs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  {{ end }}ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{/* Metrics; and through the API server, if it can be named, what `kfn describe` asks of gateways. */}}
{{- define "kfn.policyAdmin" -}}
- from:
    {{- range .root.Values.networkPolicy.apiServer.cidrs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
    {{- with .root.Values.networkPolicy.metricsNamespaceLabels }}
    - namespaceSelector:
        matchLabels:
          {{- toYaml . | nindent 10 }}
    {{- end }}
    - podSelector:
        matchLabels:
          {{- include "kfn.selector" (dict "root" .root "component" "test") | nindent 10 }}
  ports:
    - {port: {{ .port | default 8081 }}, protocol: TCP}
{{- end }}

{{- define "kfn.policyPods" -}}
- podSelector:
    matchLabels:
      {{- include "kfn.selector" . | nindent 6 }}
{{- end }}
