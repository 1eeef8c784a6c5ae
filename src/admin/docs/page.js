// Shows /openapi.json. Everything is set as text, never as markup.
"use strict";

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children.filter(Boolean));
  return made;
}

function typeOf(schema) {
  if (!schema || typeof schema !== "object") return "anything";
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const link = element("a", name);
    link.href = "#schema-" + name;
    return link;
  }
  const either = schema.oneOf || schema.anyOf || schema.allOf;
  if (either) {
    const joined = element("span");
    either.forEach((one, i) => joined.append(i ? (schema.allOf ? " and " : " or ") : "", typeOf(one)));
    return joined;
  }
  if (schema.type === "array") return element("span", "list of ", typeOf(schema.items));
  const kinds = [].concat(schema.type || "anything").join(" or ");
  const limits = ["format", "minimum", "maximum", "minLength", "maxLength", "maxItems"]
    .filter((limit) => schema[limit] !== undefined).map((limit) => `${limit} ${schema[limit]}`);
  if (schema.enum) limits.push(schema.enum.map((one) => JSON.stringify(one)).join(", "));
  return kinds + (limits.length ? ` (${limits.join("; ")})` : "");
}

function table(head, rows) {
  const line = (cells, kind) => element("tr", "", ...cells.map((cell) => {
    const made = element(kind);
    made.append(cell ?? "");
    return made;
  }));
  return element("table", "", line(head, "th"), ...rows.map((row) => line(row, "td")));
}

function fields(schema) {
  const required = schema.required || [];
  return table(["field", "type", "what it is"], Object.entries(schema.properties || {}).map(([name, field]) =>
    [required.includes(name) ? name + " *" : name, typeOf(field), field.description]));
}

function operation(path, method, about) {
  const head = element("summary", "", element("b", method.toUpperCase()), element("code", path), element("span", about.summary));
  head.className = method;
  const body = element("div", "", element("p", about.description));
  if (about.parameters?.length) {
    body.append(element("h4", "Parameters"), table(["name", "in", "type", "what it is"], about.parameters.map((one) =>
      [one.required ? one.name + " *" : one.name, one.in, typeOf(one.schema), one.description])));
  }
  const sent = about.requestBody?.content?.["application/json"]?.schema;
  if (sent) body.append(element("h4", "Body"), element("p", "", typeOf(sent)));
  body.append(element("h4", "Answers"), table(["status", "what it means", "body"], Object.entries(about.responses).map(
    ([status, answer]) => [status, answer.description, answer.content ? typeOf(Object.values(answer.content)[0].schema) : "none"])));
  const shown = element("details", "", head, body);
  shown.dataset.words = [path, method, about.summary, about.description, about.tags].join(" ").toLowerCase();
  return shown;
}

function show(api) {
  document.getElementById("about").textContent = api.info.description;
  const routes = document.getElementById("routes");
  routes.textContent = "";
  for (const tag of api.tags || []) {
    const part = element("section", "", element("h2", tag.name), element("p", tag.description));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [method, about] of Object.entries(item)) {
        if (about.tags?.includes(tag.name)) part.append(operation(path, method, about));
      }
    }
    routes.append(part);
  }
  const schemas = document.getElementById("schemas");
  schemas.append(element("h2", "Types"));
  for (const [name, schema] of Object.entries(api.components?.schemas || {})) {
    const part = element("div", "", element("h3", name), element("p", schema.description));
    part.id = "schema-" + name;
    part.append(schema.properties ? fields(schema) : element("p", "", typeOf(schema)));
    schemas.append(part);
  }
}

document.getElementById("find").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const one of document.querySelectorAll("details")) {
    one.hidden = !words.every((word) => one.dataset.words.includes(word));
  }
});

fetch("/openapi.json").then((answer) => answer.json()).then(show, (error) => {
  document.getElementById("routes").textContent = "The description could not be read: " + error;
});
