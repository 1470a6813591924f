# What other configurations bind to.

output "service" {
  description = "The name for a service binding: { service = this, entrypoint = \"Newsreel\" }."
  value       = cloudflare_worker.newsreel.name
}

output "kv_namespace_id" {
  description = "The namespace of the entries, for newsreel fill --namespace-id."
  value       = cloudflare_workers_kv_namespace.entries.id
}
