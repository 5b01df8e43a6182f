{{/* nats-server's configuration. What begins with $ it takes from the environment, so that no password is in a ConfigMap. */}}
{{- define "kfn.natsConf" -}}
{{- $host := ternary "[::]" "0.0.0.0" (eq .Values.listen "::") -}}
server_name: $POD_NAME
listen: "{{ $host }}:4222"
{{- if .Values.nats.monitoring.enabled }}
# For probes, and for Prometheus if a NetworkPolicy lets it in. It tells of connections and streams, not of events.
http: "{{ $host }}:8222"
{{- end }}
pid_file: "/run/nats/nats.pid"
max_payload: {{ int .Values.nats.maxPayload }}
{{- if include "kfn.natsAccounts" . }}
# What the init container makes of the secret.
include "made/accounts.conf"
tls {
  cert_file: "/etc/nats/made/tls.crt"
  key_file: "/etc/nats/made/tls.key"
  min_version: "1.2"
  timeout: 5
}
{{- else }}
authorization {
  user: $KFN_NATS_USER
  password: $KFN_NATS_PASSWORD
}
{{- end }}
jetstream {
  store_dir: "/data"
  max_file_store: {{ include "kfn.bytes" .Values.nats.jetstream.maxFileStore }}
  max_memory_store: {{ include "kfn.bytes" .Values.nats.jetstream.maxMemoryStore }}
  sync_interval: {{ .Values.nats.jetstream.syncInterval }}
}
{{- if gt (int .Values.nats.replicas) 1 }}
cluster {
  name: "kfn"
  listen: "{{ $host }}:6222"
  authorization {
    user: $KFN_NATS_USER
    password: $KFN_NATS_PASSWORD
  }
  routes: $KFN_NATS_ROUTES
}
# SIGUSR2 at a pod's end: clients are sent to another server one after the other, not all at once.
lame_duck_grace_period: "2s"
lame_duck_duration: "30s"
{{- end }}
{{- end }}

{{/* A Kubernetes quantity of whole Ki, Mi, Gi or Ti as bytes. */}}
{{- define "kfn.bytes" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[KMGT]i$" $text -}}
{{- mul (trimSuffix $unit $text | int64) (get $units $unit | default 1) -}}
{{- end }}
