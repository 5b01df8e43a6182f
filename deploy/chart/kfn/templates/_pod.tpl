{{/* What all pods have in common: the restricted Pod Security Standard, where they may run, who they are. */}}

{{- define "kfn.podMeta" -}}
labels:
  {{- include "kfn.labels" (dict "root" .root "component" .component) | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .checksum }}
  kfn.dev/config-checksum: {{ . }}
  {{- end }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* token: whether it talks to the API server. */}}
{{- define "kfn.podSpec" -}}
serviceAccountName: {{ include "kfn.serviceAccount" . }}
automountServiceAccountToken: {{ .token }}
enableServiceLinks: false
{{- if .token }}
{{- /* The first process of a PID namespace loses a SIGTERM that comes before it has asked for it. One that is ended while its interpreter
       still starts would stay for its whole grace period; here the pause container is the first. */}}
shareProcessNamespace: true
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName | default .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .values.nodeSelector | default .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations | default .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range .root.Values.topologyKeys }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "kfn.selector" $ | nindent 8 }}
    {{- if ne $.component "nats" }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end }}

{{- define "kfn.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Variables that every kfn process has. Nothing is written into the image's file system, /tmp excepted. */}}
{{- define "kfn.env" -}}
- name: HOME
  value: /tmp
- name: PYTHONDONTWRITEBYTECODE
  value: "1"
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: KFN_POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- with .root.Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_SERVICE_NAME
  value: kfn-{{ $.component }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Alive is the process, ready what it needs; neither asks the API server, which may be away without harm to what runs. */}}
{{- define "kfn.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: admin
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 3
livenessProbe:
  httpGet:
    path: /healthz
    port: admin
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* It serves on for some seconds after its address has begun to leave the Services that name it: proxies learn of that a moment later. */}}
{{- define "kfn.preStop" -}}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .stopDelaySeconds }}
{{- end }}

{{- define "kfn.tmp" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end }}

{{- define "kfn.pdb" -}}
{{- if .values.podDisruptionBudget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: kfn-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kfn.labels" (dict "root" .root "component" .component) | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "kfn.selector" (dict "root" .root "component" .component) | nindent 6 }}
{{- end }}
{{- end }}

{{- define "kfn.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "kfn.serviceAccount" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kfn.labels" (dict "root" .root "component" .component) | nindent 4 }}
  {{- with .values.serviceAccountAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{/* Binds the ClusterRole and the Role of a component, both called kfn-<component>, to its account. */}}
{{- define "kfn.bindings" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name | default (printf "kfn-%s" .component) }}
  labels:
    {{- include "kfn.labels" (dict "root" .root "component" .component) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .name | default (printf "kfn-%s" .component) }}
subjects:
  - kind: ServiceAccount
    name: {{ include "kfn.serviceAccount" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

{{- define "kfn.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name | default (printf "kfn-%s" .component) }}
  namespace: {{ .namespace | default .root.Release.Namespace }}
  labels:
    {{- include "kfn.labels" (dict "root" .root "component" .component) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name | default (printf "kfn-%s" .component) }}
subjects:
  - kind: ServiceAccount
    name: {{ include "kfn.serviceAccount" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
