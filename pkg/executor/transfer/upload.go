package transfer

// Headers of uploads. Source: draft-ietf-httpbis-resumable-upload.
const (
	// HeaderUploadOffset is how many bytes are there, or where those that come begin.
	HeaderUploadOffset = "Upload-Offset"
	// HeaderUploadLength is the length of all.
	HeaderUploadLength = "Upload-Length"
	// HeaderUploadComplete is UploadComplete when all is there.
	HeaderUploadComplete = "Upload-Complete"
	UploadComplete       = "?1"
	UploadIncomplete     = "?0"
	// TypePartialUpload is the content type of what is appended.
	TypePartialUpload = "application/partial-upload"
)
