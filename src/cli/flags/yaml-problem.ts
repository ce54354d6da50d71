import type { YAMLError } from "yaml";

/** What is wrong with a text in YAML, without the library's advice to programmers. */
export function yamlProblem(error: YAMLError): string {
  if (error.code === "MULTIPLE_DOCS") return 'expected one document, found a second one after "---"';
  return error.message.replaceAll(/\s*\n\s*/g, " ");
}
