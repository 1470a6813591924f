# What differs from one deployment to the next.

variable "account_id" {
  type        = string
  description = "The Cloudflare account."
}

variable "name" {
  type        = string
  description = "The name of the Worker, and the beginning of the names of its namespace and bucket."
  default     = "newsreel"
}

variable "origin_url" {
  type        = string
  description = "The server that has the values; empty if Workers fill the cache through a service binding."
  default     = ""
}

variable "catalogs" {
  type        = list(string)
  description = "The catalogs that are served."
}

variable "publish_tokens" {
  type        = string
  description = "Who may publish: name=token, several with commas."
  sensitive   = true
}

variable "follow_tokens" {
  type        = string
  description = "Who may follow: name=token, several with commas."
  sensitive   = true
}

variable "admin_tokens" {
  type        = string
  description = "Who may administer: name=token, several with commas."
  sensitive   = true
}

variable "variables" {
  type        = map(string)
  description = "Other variables of docs/configuration.md, such as KV_TENDER."
  default     = {}
}

variable "copies_max_age_seconds" {
  type        = number
  description = "When copies in R2 are deleted: longer than the ttl and the stale time of every class together."
  default     = 1296000
}

variable "fill_at" {
  type        = string
  description = "When hot keys are fetched ahead, as a cron expression: at an hour that is quiet where your viewers are."
  default     = "0 4 * * *"
}
