export interface NewsreelDataAdapterOptions {
  /** The name of the service binding to Newsreel's entrypoint. By default `NEWSREEL`. */
  binding?: string;
  /** The catalog, where the binding's props name none. */
  catalog?: string;
}

/** The data cache of vinext's plugin: `vinext({ cache: { data: newsreelDataAdapter() } })`. */
export function newsreelDataAdapter(options?: NewsreelDataAdapterOptions): {
  adapter: string;
  options: NewsreelDataAdapterOptions;
};
