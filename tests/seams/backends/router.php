<?php
// PHP's built-in server: LAB_LOG=… LAB_PREFIXES=… php -S 127.0.0.1:PORT router.php
function place(string $path): string {
    foreach (explode(" ", getenv("LAB_PREFIXES")) as $prefix) {
        if ($path === $prefix || str_starts_with($path, "$prefix/")) {
            $segments = explode("/", substr($path, strlen($prefix) + 1));
            if ($segments[0] === "files") return ($segments[1] ?? "") === "keys" ? "keys" : "files";
            return in_array($segments[0], ["admin", "secret", "mcp"]) ? $segments[0] : "root";
        }
    }
    return "root";
}
$uri = $_SERVER["REQUEST_URI"];
$raw = explode("?", $uri)[0];
$parsed = parse_url("http://lab" . $uri, PHP_URL_PATH);
$readings = [$raw, rawurldecode($raw), is_string($parsed) ? rawurldecode($parsed) : $raw];
$headers = [];
foreach ($_SERVER as $name => $value)
    if (str_starts_with($name, "HTTP_") || $name === "PHP_AUTH_USER") $headers[] = [$name, $value];
$seen = [
    "method" => $_SERVER["REQUEST_METHOD"], "target" => $uri,
    "places" => array_values(array_unique(array_map("place", $readings))), "headers" => $headers,
    "body" => iconv("ISO-8859-1", "UTF-8", file_get_contents("php://input")),
    "cookies" => array_map("strval", array_keys($_COOKIE)), "trailers" => [],
];
$line = json_encode($seen, JSON_INVALID_UTF8_SUBSTITUTE) . "\n";
file_put_contents(getenv("LAB_LOG"), $line, FILE_APPEND | LOCK_EX);
echo "ok";
