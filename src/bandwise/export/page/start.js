// No module: a page opened from a disk may not load any, and says so.
if (location.protocol === "file:") {
  document.getElementById("status").textContent =
    "A browser does not run this page from a disk. Serve the folder, for example by: python3 -m http.server, " +
    "and open the address that it names.";
} else {
  const script = document.createElement("script");
  script.type = "module";
  script.src = "app.js";
  document.body.append(script);
}
