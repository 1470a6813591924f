# Newsreel's Worker with its objects, KV namespace and R2 bucket, by Cloudflare's own provider.

terraform {
  required_version = ">= 1.5"
  required_providers {
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.19"
    }
  }
}

# Reads CLOUDFLARE_API_TOKEN, a token that may edit Workers scripts, Workers KV and R2.
provider "cloudflare" {}

locals {
  # `npm install` puts the built Worker here; nothing is compiled.
  worker_folder = "${path.module}/node_modules/newsreel-worker"

  variables = merge({
    ORIGIN_URL = var.origin_url
    CATALOGS   = join(",", var.catalogs)
  }, var.variables)

  secrets = {
    PUBLISH_TOKENS = var.publish_tokens
    FOLLOW_TOKENS  = var.follow_tokens
    ADMIN_TOKENS   = var.admin_tokens
  }
}

resource "cloudflare_workers_kv_namespace" "entries" {
  account_id = var.account_id
  title      = "${var.name}-entries"
}

resource "cloudflare_r2_bucket" "copies" {
  account_id = var.account_id
  name       = "${var.name}-copies"
}

# Copies older than the longest ttl and stale time of a class are of no use.
resource "cloudflare_r2_bucket_lifecycle" "copies" {
  account_id  = var.account_id
  bucket_name = cloudflare_r2_bucket.copies.name
  rules = [{
    id         = "old-copies"
    enabled    = true
    conditions = { prefix = "" }
    delete_objects_transition = {
      condition = {
        type    = "Age"
        max_age = var.copies_max_age_seconds
      }
    }
  }]
}

resource "cloudflare_worker" "newsreel" {
  account_id = var.account_id
  name       = var.name
  subdomain = {
    enabled = true
  }
}

resource "cloudflare_worker_version" "newsreel" {
  account_id         = var.account_id
  worker_id          = cloudflare_worker.newsreel.id
  compatibility_date = "2026-07-30"
  main_module        = "index.js"

  modules = [
    {
      name         = "index.js"
      content_type = "application/javascript+module"
      content_file = "${local.worker_folder}/index.js"
    },
    {
      name         = "index_bg.wasm"
      content_type = "application/wasm"
      content_file = "${local.worker_folder}/index_bg.wasm"
    },
  ]

  # The classes keep their rows in SQLite. The platform takes a migration once, by its tag. A deployment that has the tag v1
  # already needs `old_tag = "v1"` and the class AlertBoard alone.
  migrations = {
    new_tag            = "v2"
    new_sqlite_classes = ["Broker", "Replica", "AlertBoard"]
  }

  bindings = concat(
    [
      { type = "durable_object_namespace", name = "BROKER", class_name = "Broker" },
      { type = "durable_object_namespace", name = "REPLICA", class_name = "Replica" },
      { type = "durable_object_namespace", name = "ALERT_BOARD", class_name = "AlertBoard" },
      { type = "kv_namespace", name = "ENTRIES", namespace_id = cloudflare_workers_kv_namespace.entries.id },
      { type = "r2_bucket", name = "COPIES", bucket_name = cloudflare_r2_bucket.copies.name },
    ],
    [for name, text in local.variables : { type = "plain_text", name = name, text = text }],
    [for name, text in local.secrets : { type = "secret_text", name = name, text = text }],
  )
}

resource "cloudflare_workers_deployment" "newsreel" {
  account_id  = var.account_id
  script_name = cloudflare_worker.newsreel.name
  strategy    = "percentage"
  versions = [{
    version_id = cloudflare_worker_version.newsreel.id
    percentage = 100
  }]
}

# The origin's hot keys are fetched ahead at this hour (FILL_CATALOGS).
resource "cloudflare_workers_cron_trigger" "newsreel" {
  account_id  = var.account_id
  script_name = cloudflare_worker.newsreel.name
  schedules   = [{ cron = var.fill_at }]
  depends_on  = [cloudflare_workers_deployment.newsreel]
}
