import type { YAMLError } from "yaml";

/** What is wrong with a text in YAML, for people: without advice that is meant for those who call the library. */
export function yamlProblem(error: YAMLError): string {
  if (error.code === "MULTIPLE_DOCS") return 'expected one document, found a second one after "---"';
  return error.message.replaceAll(/\s*\n\s*/g, " ");
}
