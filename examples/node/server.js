// A Node function is a server that listens on $PORT; node:http is enough for it.
const { createServer } = require("node:http");

const server = createServer((request, response) => {
  const name = new URL(request.url, "http://function").searchParams.get("name") || "world";
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`hello ${name}, from Node ${process.versions.node}\n`);
});

// In a container this is process 1, which a signal without a handler does not end.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
server.listen(Number(process.env.PORT || 8080), process.env.KFN_HOST);
