// Markdown of a model as HTML. What the model writes as HTML is shown as text; images are not loaded; `javascript:` links
// are text. The page's content security policy allows neither.
import MarkdownIt from "markdown-it";

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true }).disable("image");
const link = markdown.renderer.rules.link_open;
markdown.renderer.rules.link_open = (tokens, index, options, env, self) => {
  tokens[index]?.attrSet("target", "_blank");
  tokens[index]?.attrSet("rel", "noopener noreferrer nofollow");
  return link ? link(tokens, index, options, env, self) : self.renderToken(tokens, index, options);
};

export function renderMarkdown(text: string, into: HTMLElement): void {
  into.innerHTML = markdown.render(text);
}
