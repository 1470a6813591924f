// The site of the documents: local search, GitHub's anchors, and no link that leads nowhere.

import { REPOSITORY, pageOf, sections } from './pages.mjs';

/** The anchors that GitHub gives headings, which the documents' links are written for. */
const slugify = (heading) => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
const link = ({ path }) => `/${pageOf(path).replace(/(?:index)?\.md$/, '')}`;

export default {
  title: 'Newsreel',
  description: 'Keep every edge cache of a catalogue honest.',
  srcDir: process.env.NEWSREEL_SITE_PAGES,
  outDir: process.env.NEWSREEL_SITE_OUT,
  cacheDir: process.env.NEWSREEL_SITE_CACHE,
  cleanUrls: true,
  ignoreDeadLinks: [/^https?:\/\/(localhost|127\.0\.0\.1)/],
  markdown: { anchor: { slugify } },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [{ text: 'Quick start', link: '/docs/quick-start' }, { text: 'Protocol', link: '/crates/core/PROTOCOL' }],
    sidebar: sections().map(({ title, documents }) => ({
      text: title,
      items: documents.map((document) => ({ text: document.title, link: link(document) })),
    })),
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
  },
};
