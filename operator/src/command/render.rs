//! `warren-operator render`: shows the Kubernetes objects that pipelines would get.

use crate::{
    build::{self, Images},
    manifest::{self, Manifest, Refusals},
};
use clap::Args;
use std::{
    io::{self, Write as _},
    path::PathBuf,
};

/// Which pipelines to show, and with which images.
#[derive(Args, Debug)]
pub struct RenderArguments {
    /// Files with pipelines, and with Secrets and anything else, which is passed over; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    images: ImageArguments,
}

/// The images of Warren's own programs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub struct ImageArguments {
    /// Image of the web side
    #[arg(long, env = "WARREN_WEB_SERVICE_IMAGE", value_name = "IMAGE", default_value = build::WEB_SERVICE_IMAGE)]
    web_service_image: String,

    /// Image of the processors; exec handlers take the program from it into your image
    #[arg(long, env = "WARREN_PROCESSOR_IMAGE", value_name = "IMAGE", default_value = build::PROCESSOR_IMAGE)]
    processor_image: String,
}

impl From<ImageArguments> for Images {
    fn from(arguments: ImageArguments) -> Self {
        Self { web_service: arguments.web_service_image, processor: arguments.processor_image }
    }
}

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The files are wrong.
    #[error(transparent)]
    Refused(#[from] Refusals),
    /// An object could not be written as YAML.
    #[error("an object cannot be written as YAML")]
    Yaml(#[source] serde_yaml::SerializeError),
    /// Standard output could not be written.
    #[error("the objects cannot be printed")]
    Print(#[source] io::Error),
}

/// Prints the objects of all pipelines in the files.
///
/// # Errors
/// The files are refused, or standard output is gone.
pub fn run(arguments: &RenderArguments) -> Result<(), RenderError> {
    let manifest = manifest::read(&arguments.files)?;
    for ignored in &manifest.ignored {
        tracing::warn!("{ignored} is passed over: it is neither a ProcessingPipeline nor a Secret");
    }
    let text = text(&manifest, &arguments.images.clone().into())?;
    print(&text).map_err(RenderError::Print)
}

/// The objects of all pipelines in `manifest`, as YAML documents.
///
/// # Errors
/// [`RenderError::Yaml`].
pub fn text(manifest: &Manifest, images: &Images) -> Result<String, RenderError> {
    let objects = manifest.pipelines.iter().flat_map(|pipeline| build::objects(pipeline, images).values());
    objects.map(|object| Ok(format!("---\n{}", serde_yaml::to_string(&object).map_err(RenderError::Yaml)?))).collect()
}

/// Prints a text; a reader that has seen enough (`| head`) is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
